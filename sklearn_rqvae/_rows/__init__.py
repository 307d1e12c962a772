"""Which rows: from any matrix, however large, to distinct weighted ones. Knows numpy alone."""
