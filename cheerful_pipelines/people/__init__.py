"""WHO ASKED: a person's own data, given out or erased for good, and the proof of it.

    models        what was found, what was done, what the proof says
    person_store  everything of a person in Postgres: found, read, removed
    erase         the order of an erasure; safe to repeat after a crash at any point
    export_person one archive with what is a person's own
    own_data      which of the stored rows and bytes that is
    mentions      mail that may be about a person without naming an address of theirs: what to look for
    mention_store the same in Postgres, kept for a person to decide
    search_store  every text of a database, searched
    proof         every text in both databases and every stored mail, searched

That an erased person does not come back is held elsewhere, by `storage/erased_people.py`, where a person could come in.
"""
