"""Networks of other toolkits, whose checkpoints `passerby.import_model` converts: those that timm does not have."""
