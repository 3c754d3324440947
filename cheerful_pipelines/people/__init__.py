"""WHO ASKED: a person's own data, given out or erased for good, and the proof of it.

    models        what was found, what was done, what the proof says
    person_store  everything of a person in Postgres: found, read, removed
    erase         the order of an erasure; safe to repeat after a crash at any point
    export_person one archive with everything of a person
    search_store  every text of a database, searched
    proof         every text in both databases and every stored mail, searched

That an erased person does not come back is held elsewhere, by `storage/erased_people.py`, where a person could come in.
"""
