"""What one device needs: its memory, its transfers, its precision, its clock."""
