"""Language models, hosted or our own: prompt, call, answer, batches, cost."""
