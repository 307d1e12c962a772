ViewWeights = choose_view_weights = None
