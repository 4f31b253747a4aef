"""Published measurements of served models, read row by row and put beside what the model says of them."""
