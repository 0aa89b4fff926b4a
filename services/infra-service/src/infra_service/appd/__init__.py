"""appd: a server's application daemon and release receiver. Standard library only; shipped as one zip file."""
