"""WHO IT IS FOR: clients, campaigns and sender accounts, the keys of everything else."""
