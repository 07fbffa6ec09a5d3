"""What the network hears: front ends, backbones, embeddings."""
