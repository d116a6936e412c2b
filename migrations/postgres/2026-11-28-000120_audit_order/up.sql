-- Events from before they were numbered have numbers in the order in which the table had them, where new ones take the places of
-- those that were removed. Now it is the order of their times. No number comes to be higher than the highest was.
-- allowed: it holds the locks of rows that nobody changes. Nothing is released yet that has numbered one.
UPDATE audit_events SET seq = numbered.n
FROM (SELECT id, row_number() OVER (ORDER BY at, seq) AS n FROM audit_events) AS numbered
WHERE audit_events.id = numbered.id AND audit_events.seq <> numbered.n;
