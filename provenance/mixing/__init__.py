"""The share language: policies, plans, locks, builds."""
