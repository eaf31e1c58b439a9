"""
The journal: keeps results in a file, so that the program may end and run again.

Pure parts (`_identity`, `_policy`, `_record`), the file and its thread (`_schema`, `_lock`,
`_store`, `_lookup`, `_writer`), and the docking to a batch: a filter of its input (`_input`) and a
listener of its results (`_docking`). A batch without a journal meets none of it.
"""
