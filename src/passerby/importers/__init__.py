"""Import models of other toolkits: file -> tensors -> a network of this package -> run folder."""
