"""One governed call of a model, from the question before it is sent to the answer that is given out."""
