"""A server on this machine with the providers' protocols: Messages, Responses, Chat Completions, both batch APIs.

It answers from the embedded classifier unless told otherwise, counts what it was asked, and fails as it is told to.
"""

import asyncio
import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from cheerful_pipelines.classification.local.local_classifier import LocalClassifier

_NEWEST = re.compile(r"\[\[(\w+) \d+: THEIRS, NEWEST, [^\]]*\]\]\n(.*?)\n\[\[\1 ", re.S)
TOKENS_IN, TOKENS_OUT = 900, 120


class StubLlm:
    """State of the server: set `answer`, `faults`, `latency_seconds`; read `asked`, `answered`, `bodies`."""

    def __init__(self) -> None:
        self.asked = 0
        self.answered = 0
        self.most_at_once = 0
        self.bodies: list[dict[str, Any]] = []
        self.faults: deque[str] = deque()
        self.latency_seconds = 0.0
        self.answer: Callable[[str], dict[str, Any]] = self._judge
        self.batches: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.batches_end = True
        self.batch_results_left_out = 0
        self.hanging: set[str] = set()  # batches of which no question is answered
        self.url = ""
        self._at_once = 0
        self._local = LocalClassifier()

    def _judge(self, words: str) -> dict[str, Any]:
        verdict = self._local.judge(words)
        return {"label": verdict.label, "confidence": 0.9, "evidence_quote": words[:40], "reason": "As the words say."}

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/messages", self.messages, methods=["POST"]),
                Route("/v1/responses", self.responses, methods=["POST"]),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1/messages/batches", self.create_message_batch, methods=["POST"]),
                Route("/v1/messages/batches/{id}", self.message_batch),
                Route("/v1/messages/batches/{id}/results", self.message_batch_results),
                Route("/v1/messages/batches/{id}/cancel", self.message_batch, methods=["POST"]),
                Route("/v1/files", self.upload, methods=["POST"]),
                Route("/v1/files/{id}", self.delete_file, methods=["DELETE"]),
                Route("/v1/files/{id}/content", self.file),
                Route("/v1/batches", self.create_batch, methods=["POST"]),
                Route("/v1/batches/{id}", self.batch),
            ]
        )

    # --- live ------------------------------------------------------------------------------------------------

    async def _live(self, request: Request, shape: Callable[[dict[str, Any] | str, str], dict[str, Any]]) -> Response:
        body = await request.json()
        self.asked += 1
        self.bodies.append(body)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if self.latency_seconds:
                await asyncio.sleep(self.latency_seconds)
            fault = self.faults.popleft() if self.faults else ""
            if fault.isdigit():
                headers = {"retry-after": "0"} if fault in ("429", "503", "529") else {}
                problem = {"type": "error", "error": {"type": "stub", "message": "as told", "code": "stub"}}
                return JSONResponse(problem, int(fault), headers=headers)
            if fault == "hang":
                await asyncio.sleep(30)
            if fault == "html":
                return PlainTextResponse("<html>bad gateway</html>", 200, media_type="text/html")
            answer: dict[str, Any] | str = self.answer(newest_words(body))
            if fault == "wrong label":
                answer = {"label": "enthusiastic", "confidence": 2}
            self.answered += 1
            return JSONResponse(shape(answer, str(body.get("model", "stub"))))
        finally:
            self._at_once -= 1

    async def messages(self, request: Request) -> Response:
        return await self._live(request, anthropic_message)

    async def responses(self, request: Request) -> Response:
        return await self._live(request, openai_response)

    async def chat(self, request: Request) -> Response:
        return await self._live(request, chat_completion)

    # --- batches ---------------------------------------------------------------------------------------------

    async def create_message_batch(self, request: Request) -> Response:
        body = await request.json()
        name = f"msgbatch_{len(self.batches) + 1}"
        self.batches[name] = {"requests": body["requests"]}
        return JSONResponse(self._message_batch(name))

    async def message_batch(self, request: Request) -> Response:
        while request.path_params["id"] in self.hanging:
            await asyncio.sleep(0.05)
        return JSONResponse(self._message_batch(request.path_params["id"]))

    def _message_batch(self, name: str) -> dict[str, Any]:
        count = len(self.batches[name]["requests"])
        ended = self.batches_end and self.batches[name].setdefault("looked", 0) > 0
        self.batches[name]["looked"] = 1
        return {
            "id": name, "type": "message_batch", "processing_status": "ended" if ended else "in_progress",
            "request_counts": {"processing": 0 if ended else count, "succeeded": count if ended else 0,
                               "errored": 0, "canceled": 0, "expired": 0},
            "created_at": "2026-11-02T09:00:00Z", "expires_at": "2026-11-03T09:00:00Z",
            "ended_at": "2026-11-02T10:00:00Z" if ended else None, "cancel_initiated_at": None, "archived_at": None,
            "results_url": f"{self.url}/v1/messages/batches/{name}/results" if ended else None,
        }  # fmt: skip

    async def message_batch_results(self, request: Request) -> Response:
        while request.path_params["id"] in self.hanging:
            await asyncio.sleep(0.05)
        lines = []
        requests = self.batches[request.path_params["id"]]["requests"]
        for number, item in enumerate(reversed(requests)):  # out of order, as the real one
            if number < self.batch_results_left_out:
                result: dict[str, Any] = {"type": "expired"}
            else:
                message = anthropic_message(self.answer(newest_words(item["params"])), "stub")
                result = {"type": "succeeded", "message": message}
            lines.append(json.dumps({"custom_id": item["custom_id"], "result": result}))
        return PlainTextResponse("\n".join(lines) + "\n", media_type="application/x-jsonl")

    async def upload(self, request: Request) -> Response:
        name = f"file-{len(self.files) + 1}"
        raw = await request.body()
        self.files[name] = b"\n".join(line for line in raw.splitlines() if line.startswith(b'{"custom_id"'))
        return JSONResponse({"id": name, "object": "file", "bytes": len(raw), "created_at": 1,
                             "filename": "batch.jsonl", "purpose": "batch", "status": "processed"})  # fmt: skip

    async def delete_file(self, request: Request) -> Response:
        return JSONResponse({"id": request.path_params["id"], "object": "file", "deleted": True})

    async def file(self, request: Request) -> Response:
        return PlainTextResponse(self.files[request.path_params["id"]].decode())

    async def create_batch(self, request: Request) -> Response:
        body = await request.json()
        name = f"batch_{len(self.batches) + 1}"
        self.batches[name] = {"input": body["input_file_id"], "endpoint": body["endpoint"]}
        return JSONResponse(self._batch(name))

    async def batch(self, request: Request) -> Response:
        return JSONResponse(self._batch(request.path_params["id"]))

    def _batch(self, name: str) -> dict[str, Any]:
        known = self.batches[name]
        ended = self.batches_end and known.get("looked", False)
        known["looked"] = True
        lines = self.files[known["input"]].splitlines()
        if ended and "output" not in known:
            known["output"] = f"file-out-{name}"
            self.files[known["output"]] = "\n".join(
                json.dumps({
                    "id": f"r{number}", "custom_id": item["custom_id"], "error": None,
                    "response": {"status_code": 200, "request_id": "q",
                                 "body": openai_response(self.answer(newest_words(item["body"])), "stub")},
                })
                for number, item in enumerate(map(json.loads, lines))
            ).encode()  # fmt: skip
        return {
            "id": name, "object": "batch", "endpoint": known["endpoint"], "input_file_id": known["input"],
            "completion_window": "24h", "status": "completed" if ended else "in_progress",
            "output_file_id": known.get("output"), "error_file_id": None, "created_at": 1_793_000_000, "errors": None,
            "request_counts": {"total": len(lines), "completed": len(lines) if ended else 0, "failed": 0},
        }  # fmt: skip


def newest_words(body: dict[str, Any]) -> str:
    """The creator's newest words out of a request of any protocol."""
    found = _NEWEST.search(json.dumps(body, ensure_ascii=False).replace("\\n", "\n").replace('\\"', '"'))
    return found[2] if found else ""


def anthropic_message(answer: dict[str, Any] | str, model: str) -> dict[str, Any]:
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": model, "stop_sequence": None,
        "content": [{"type": "tool_use", "id": f"toolu_{time.monotonic_ns()}", "name": "verdict", "input": answer}],
        "stop_reason": "tool_use", "usage": {"input_tokens": TOKENS_IN, "output_tokens": TOKENS_OUT},
    }  # fmt: skip


def openai_response(answer: dict[str, Any] | str, model: str) -> dict[str, Any]:
    call = {"type": "function_call", "id": "fc_1", "call_id": f"call_{time.monotonic_ns()}", "name": "verdict",
            "arguments": json.dumps(answer), "status": "completed"}  # fmt: skip
    return {
        "id": "resp_1", "object": "response", "created_at": 1_793_000_000, "model": model, "output": [call],
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "status": "completed",
        "usage": {"input_tokens": TOKENS_IN, "output_tokens": TOKENS_OUT, "total_tokens": TOKENS_IN + TOKENS_OUT,
                  "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}},
    }  # fmt: skip


def chat_completion(answer: dict[str, Any] | str, model: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_793_000_000, "model": model,
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": json.dumps(answer)}}],
        "usage": {"prompt_tokens": TOKENS_IN, "completion_tokens": TOKENS_OUT, "total_tokens": TOKENS_IN + TOKENS_OUT},
    }  # fmt: skip


@contextmanager
def running_stub() -> Iterator[StubLlm]:
    """The server on a free port, until the block ends."""
    stub = StubLlm()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(stub.app(), host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    stub.url = f"http://127.0.0.1:{port}"
    try:
        yield stub
    finally:
        server.should_exit = True
        thread.join(timeout=10)
