"""What happens, told to those who follow it: which events there are, publishing, following and keeping them."""
