"""Drive v3 on the wire: files.get of a spreadsheet, for the version that grows with each change."""

from datetime import UTC, datetime
from typing import Any

from cheerful_pipelines.local_google.calls import Answer, Call, GoogleError, Route
from cheerful_pipelines.local_google.spreadsheets import Spreadsheets

_MIME_TYPE = "application/vnd.google-apps.spreadsheet"
_DEFAULT_FIELDS = ("kind", "id", "name", "mimeType")


class DriveApi:
    """The used part of Drive."""

    def __init__(self, spreadsheets: Spreadsheets) -> None:
        self._spreadsheets = spreadsheets

    def routes(self) -> list[Route]:
        """files.get."""
        return [Route("drive", "GET", "/drive/v3/files/{fileId}", "drive.files.get", self.get_file)]

    def get_file(self, call: Call) -> Answer:
        """Without `fields` Drive answers four fields; with it, those asked for (cut out by the caller)."""
        id_ = call.params["fileId"]
        try:
            book = self._spreadsheets.get(id_)
        except GoogleError:
            # Drive does not say whether a file is absent or only not shared.
            raise GoogleError(404, f"File not found: {id_}.") from None
        modified = datetime.fromtimestamp(book.modified_at, UTC).isoformat(timespec="milliseconds")
        body: dict[str, Any] = {
            "kind": "drive#file", "id": id_, "name": book.title, "mimeType": _MIME_TYPE,
            "version": str(book.version), "modifiedTime": modified.replace("+00:00", "Z"), "trashed": False,
        }  # fmt: skip
        body |= self._spreadsheets.drive_facts.get(id_, {})
        if not call.first("fields"):
            body = {name: body[name] for name in _DEFAULT_FIELDS}
        return Answer(body=body)
