"""What can be trained: a file for each detector, method and encoder, with a class derived from `base.Task`.

A detector's file is called like `detector:` in the model's config.yaml, a method's like `method:` of its
`sharing:`; there is one kind of encoder.
"""
