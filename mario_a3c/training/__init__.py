"""The processes of a run: workers, evaluation and the parent that watches over them."""
