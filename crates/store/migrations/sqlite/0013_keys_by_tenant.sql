-- PostgreSQL alone: here an integer key is the place of the row itself, and nothing is partitioned.
SELECT 1;
