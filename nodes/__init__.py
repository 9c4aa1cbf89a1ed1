"""One file per node. A node declares the slice of the state that it reads beside itself and knows no other node."""
