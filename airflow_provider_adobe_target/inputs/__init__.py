"""Row arguments shared by operators and sensors: sources, templating and database cursors."""
