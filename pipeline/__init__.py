"""The blocks that flow, fixed-point arithmetic, the Stage contract, chains, and the signal-processing stages."""
