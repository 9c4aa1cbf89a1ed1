"""What the guard's tests share: statements by the hundred, and a database with another project's canaries in it."""
