"""Fraud detection without labels: a denoising autoencoder whose residuals are scored."""
