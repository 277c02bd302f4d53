"""One test a sentence of the contract, in both spellings, on every system; the truth is Windows' documented behaviour."""
