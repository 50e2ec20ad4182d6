"""Somebody's logits as one more teacher: brought into a store once, read by any run on the same data.

meanings    what the numbers of a file may be
class_map   which column of a file is which class
files       the file's rows, ids and views, as arrays that are read block by block
parquet     the same from Parquet
checks      all that can be wrong with them
bringing    from checked rows to a table in the store
kept        the tables that a store has, without torch
placing     the stages: a table's rows where a run's shards want them
"""
