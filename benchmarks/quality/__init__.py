"""The scorecard: how often Hansei's findings are right, on simulated projects of which the truth is known."""
