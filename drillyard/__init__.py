"""drillyard: ML system designs, trained, served, loaded, broken and scored for real."""
