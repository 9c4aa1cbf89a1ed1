"""The state machine: state.py puts the nodes' slices together, workflow.py wires the nodes."""
