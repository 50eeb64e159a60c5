"""Real-time quality control after QARTOD: pure functions of arrays, and an engine that keeps streaming equal to
batch."""
