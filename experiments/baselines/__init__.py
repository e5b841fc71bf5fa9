"""Other methods on the flow's folds, splits, front-end and clip scores."""
