-- Whoever takes a pair away lets held-out text into a mix: pairs belong to the command that found them, and are sealed.

ALTER TABLE document_pair ADD COLUMN activity_id UUID;
