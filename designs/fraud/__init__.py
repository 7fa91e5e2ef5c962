"""Fraud scoring of card transactions."""
