"""The composition root: from the configuration to objects that know each other. The only place that names concrete
channels, engines and stores; one file per role, so that a process imports what it is made of and nothing else.

Rules: nothing here does work; nothing elsewhere reads the configuration's files or asks the environment.
"""
