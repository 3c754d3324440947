"""The phrase bank: what invented creators say, by language and label. JSON files, one a language."""
