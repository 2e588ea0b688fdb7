"""What crosses between the eras of the protocol, and how."""
