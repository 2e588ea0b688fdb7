"""The asking side: which server it is, and proving to it who we are."""
