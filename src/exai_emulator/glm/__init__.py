"""GLM as Z.ai serves it: general root `/api/paas/v4`, coding root `/api/coding/paas/v4`."""
