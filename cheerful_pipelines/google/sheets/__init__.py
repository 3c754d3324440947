"""Google Sheets, as every domain uses it: the client, A1 notation, and tabs of ours in a client's spreadsheet."""
