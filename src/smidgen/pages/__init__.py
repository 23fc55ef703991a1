"""Made scans and what they show: pages of text, damaged as paper, print and scanners do."""
