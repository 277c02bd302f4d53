"""What is told of an object, whoever shows it: the command line now.  A new type of object or content is told about here.

    looking.py    look(): all facts about one object of one moment, as rows of text and as JSON; the columns of a list
    states.py     what a mutex, event or semaphore is, in words
    queues.py     the settings of a queue, what went through it, who takes part
    content.py    what a section holds, told by its bytes: an array, a record, a table
    words.py      a snapshot (ObjectInfo) in words: sizes, ages, users, processes

What is shown is text for a terminal: names and contents come from other users, and are escaped here.
"""
