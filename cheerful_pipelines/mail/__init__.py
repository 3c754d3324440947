"""Mail as stored: models, MIME parsing, the store; below it Gmail, scope and the reading of one mail."""
