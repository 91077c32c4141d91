"""OpenLineage facets, and lineage of the hook."""
