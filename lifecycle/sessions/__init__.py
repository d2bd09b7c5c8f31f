"""What is done to conversations as a whole: started, ended, paused, erased, listed, exported."""
