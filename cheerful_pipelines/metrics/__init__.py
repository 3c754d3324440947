"""HOW THE CAMPAIGN WENT: verdicts become numbers, plots and the client's sheet."""
