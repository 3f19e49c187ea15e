"""What an operator hands over: a report, clips, a playlist and a contact sheet of the moments that a search found."""
