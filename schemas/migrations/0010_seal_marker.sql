-- How many kinds of rows an activity sealed is itself a seal, so that what is older than the seal of its kind is known.

COMMENT ON VIEW ledger IS 'The hash chain over ended activities: each entry covers its activity, the rows it wrote, and the entry before. The seal of table * says how many kinds of rows were sealed.';
