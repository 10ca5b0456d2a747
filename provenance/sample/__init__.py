"""The sample corpora that ship: public-domain human text and text a small model wrote from it."""
