"""How pages write moments: FORMAT_MODULE_PATH, for Django takes those of a language before those of the settings."""
