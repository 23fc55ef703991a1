"""A model in the forms of other places: Keras, C, a web page."""
