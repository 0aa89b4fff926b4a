"""What every member shares: contracts, streams, clients, logging, runtime."""
