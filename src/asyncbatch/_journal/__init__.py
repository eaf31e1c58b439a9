"""
The journal: keeps results in a file, so that the program may end and run again.

Pure parts (`_identity`, `_policy`, `_record`), the file and its thread (`_schema`, `_lock`,
`_store`, `_lookup`, `_writer`), and its place in a batch: a filter of the input (`_input`) and a
listener of the results (`_open_journal`). A batch without a journal runs none of it.
"""
